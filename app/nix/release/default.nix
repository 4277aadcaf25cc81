# The release: an OCI archive with a layer for each store path, and the installer that puts it on hosts.
{ base, derive, files, application, python, version }:
let
  packer = files "packer-source" [ "app/holdfast_release" ];
  migrations = builtins.attrNames (builtins.readDir ../../holdfast/store/migrations);
  database = {
    first = 0;
    last = builtins.length (builtins.filter (name: builtins.match "[0-9]{4}_.*\\.sql" name != null) migrations);
    # Migrations have only added so far: every release since the first works on what a later one makes. One that takes
    # something away raises this to its own number.
    works_since = 1;
  };
  paths = [ base.runtime python.deps application.holdfast ];

  # A layer is packed once for each store path, not again for each release.
  layer = path: derive {
    name = "holdfast-layer";
    inherit path packer;
    script = ''PYTHONPATH=$packer/app python3.13 ${./pack_layer.py} $path $out'';
  };
in {
  inherit paths;

  image = derive {
    name = "holdfast-${version}-release";
    inherit packer version;
    layers = map layer paths;
    root = application.holdfast;
    database = builtins.toJSON database;
    config = builtins.toJSON {
      Entrypoint = [ "${application.holdfast}/bin/holdfast" ];
      Env = [ "SSL_CERT_FILE=${base.runtime}/etc/ssl/certs/ca-certificates.crt" ];
      User = "10001:10001";
      WorkingDir = "/tmp";
    };
    script = ''
      mkdir $out
      PYTHONPATH=$packer/app python3.13 ${./pack_release.py} $out
      cp $root/share/holdfast/sbom.cdx.json $root/share/holdfast/provenance.json $out/
    '';
  };
}
