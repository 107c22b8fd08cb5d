"""The data sets that a study trains on."""
