# The flake's outputs.
{ source }:
let
  system = "x86_64-linux";
  project = (builtins.fromTOML (builtins.readFile (source + "/pyproject.toml"))).project;
  inherit (project) version;

  base = import ./debian { inherit system; };
  derive = import ./derive.nix { inherit system base; };
  files = import ./files.nix { inherit source; };
  python = import ./python { inherit base derive; };
  native = import ./native { inherit base derive files python; };
  application = import ./application { inherit base derive files python native version; };
  release = import ./release { inherit base derive files application python version; };
  servers = import ./checks/servers { inherit base derive native; };
  checks = import ./checks { inherit base derive files python application release servers; };
in {
  packages.${system} = {
    default = application.holdfast;
    inherit (application) holdfast wheel;
    inherit (base) runtime;
    inherit (python) deps;
    inherit (release) image;
    # Not shipped: what compiles, and what the demo of the checks needs beside a release.
    build-tools = base.build;
    demo-servers = servers;
    native = native.module;
  };
  apps.${system} = rec {
    holdfast = {
      type = "app";
      program = "${application.holdfast}/bin/holdfast";
      meta.description = project.description;
    };
    default = holdfast;
  };
  checks.${system} = checks;
  devShells.${system}.default = import ./shell.nix { inherit system base native; };
}
