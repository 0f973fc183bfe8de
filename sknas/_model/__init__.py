"""What a fit leaves behind: networks in numpy."""
