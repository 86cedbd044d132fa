"""What the speed claims rest on: measures the gate beside its peers in one run, on a real server (I4)."""
