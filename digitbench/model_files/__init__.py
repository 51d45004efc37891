"""Model files read without their runtimes: which precision their weights and operations are in."""
