"""iBUG-68 as vertices of the MakeHuman base mesh: they hold for every identity made from it."""

IBUG_VERTICES = (
    # fmt: off
    5754, 269, 270, 912, 894, 742, 916, 5292, 5296, 11898, 7618, 7462, 7596, 7614, 7039, 7038, 12351,  # jaw, from the subject's right ear
    179, 206, 205, 208, 209, 6984, 6983, 6980, 6981, 6955,  # brows
    132, 131, 201, 5054, 347, 313, 317, 7076, 7108,  # nose
    6758, 1055, 4865, 4868, 1070, 1067, 11486, 11483, 7747, 13354, 7759, 7762,  # eyes
    428, 5352, 461, 467, 7220, 11954, 7188, 7166, 7241, 492, 486, 406,  # outer lips
    444, 515, 520, 7262, 7204, 7265, 523, 518,  # inner lips
    # fmt: on
)
"""Base-mesh vertex of each landmark; left and right as seen in the picture."""
