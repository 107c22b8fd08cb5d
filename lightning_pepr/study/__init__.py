"""Trains a list of models and leaves a record for each."""
