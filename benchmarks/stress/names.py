"""Names of parts of flat observations, as Safety-Gymnasium spells them; imports nothing."""

LIDAR = "_lidar"  # ends the names of parts with the lidar of one kind of object
HAZARDS_LIDAR = "hazards_lidar"
