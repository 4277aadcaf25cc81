"""holdfast-release: puts releases on hosts that have neither Nix nor a container engine. Standard library only."""
