"""What runs where, decided: devices, what a unit takes on each, the exact best, and why."""
