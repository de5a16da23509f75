"""Where solid ends: attenuations that have a name."""

__all__ = ["CALCIFIED_HU", "GROUND_GLASS_HU"]

# Below it vessels stay visible through what they lie in (Hansell 2008, Radiology 246:697).
GROUND_GLASS_HU = -300.0
CALCIFIED_HU = 200.0
