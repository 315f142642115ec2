"""`pensieve doctor`: examines an installation, and names the fix of each problem (U4)."""
