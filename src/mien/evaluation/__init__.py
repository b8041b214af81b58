"""How good a model is: scores, robustness, comparison, fairness, the model card."""
