{
  description = "Holdfast: one reproducible release, built in Nix's sandbox from hash-pinned Debian packages, wheels and crates";

  # No inputs: what is built here is all that is built, and what is built is what ships.
  outputs = { self }: import ./app/nix { source = ./.; };
}
