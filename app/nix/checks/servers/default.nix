# PostgreSQL's programs for the demo that checks a release, and what watches that demo. Not a part of any release.
{ base, derive, native }:
derive {
  name = "holdfast-demo-servers";
  tools = base.build;
  disallowedReferences = [ base.build base.tools ];
  script = ''
    server=${base.servers}/usr/lib/postgresql/17/bin
    mkdir -p $out/bin $out/lib
    ${native.compiler}/bin/cc -shared -fPIC -O2 -Wall -Werror -DSHELL='"${base.seed}/bin/busybox"' \
      -o $out/lib/rootless.so ${./rootless.c}
    ln -s $server/postgres $out/bin/postgres
    ln -s ${base.seed}/bin/busybox $out/bin/shell
    printf '#!%s sh\nLD_PRELOAD=%s exec %s "$@"\n' \
      ${base.seed}/bin/busybox $out/lib/rootless.so $server/initdb >$out/bin/initdb
    chmod +x $out/bin/initdb
    cp ${./watched_demo.py} $out/lib/watched_demo.py
  '';
}
