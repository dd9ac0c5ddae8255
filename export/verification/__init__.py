"""Does the SavedModel answer as JAX does?"""
