"""The devices: mesh, shardings, hardware, compilation."""
