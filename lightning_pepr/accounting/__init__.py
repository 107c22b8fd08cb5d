"""What a run has spent: by stage, over ranks, over fits."""
