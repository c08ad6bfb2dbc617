"""What is measured by hand: each module of it is one command."""
