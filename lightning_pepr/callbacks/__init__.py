"""All that knows Lightning's Trainer: `PePRCallback`, `CostBudget` and their parts."""
