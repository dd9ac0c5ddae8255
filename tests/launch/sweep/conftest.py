from tests.launch.changing import folder, shop

__all__ = ["folder", "shop"]
