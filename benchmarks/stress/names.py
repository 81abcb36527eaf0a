"""Safety-Gymnasium's names of parts of flat observations; imports nothing."""

LIDAR = "_lidar"  # suffix of the lidar part of one kind of object
HAZARDS_LIDAR = "hazards_lidar"
