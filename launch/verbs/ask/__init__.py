"""What a model is asked: lists for one, answers for all, items that are alike."""
