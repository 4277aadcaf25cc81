# Some of the source's files: what is not among them changes nothing that is made from them.
{ source }:
name: paths:
let
  root = toString source;
  below = parent: path: path == parent || builtins.substring 0 (builtins.stringLength parent + 1) path == parent + "/";
in builtins.path {
  name = "holdfast-${name}";
  path = source;
  filter = path: _:
    let relative = builtins.substring (builtins.stringLength root + 1) (-1) (toString path);
    in builtins.any (wanted: below wanted relative || below relative wanted) paths;
}
