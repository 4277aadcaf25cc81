#!/bin/bash
# certificates.sh AUTHORITY CREDENTIALS NAME ALTERNATIVE...: CREDENTIALS/NAME_cert and NAME_key, signed by the authority in the folder
# AUTHORITY, which is made if absent. A certificate that has a month to live and is for the alternatives stays as it is.
# Says "changed" or "unchanged".
set -euo pipefail
umask 077
authority=$1 credentials=$2 name=$3
shift 3
alternatives=$(IFS=,; echo "$*")
certificate=$credentials/${name}_cert key=$credentials/${name}_key
month_s=$((30 * 24 * 3600))

make_key() { openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$1" 2>/dev/null; }

if [ ! -e "$authority/ca.pem" ]; then
    make_key "$authority/ca.key"
    openssl req -x509 -new -key "$authority/ca.key" -days 3650 -subj "/CN=Holdfast internal authority" \
        -addext basicConstraints=critical,CA:TRUE,pathlen:0 -addext keyUsage=critical,keyCertSign,cRLSign -out "$authority/ca.part"
    mv "$authority/ca.part" "$authority/ca.pem"
fi
if [ -e "$certificate" ] && [ "$(cat "$authority/$name.names" 2>/dev/null)" = "$alternatives" ] &&
    openssl x509 -in "$certificate" -noout -checkend "$month_s" >/dev/null &&
    openssl verify -CAfile "$authority/ca.pem" "$certificate" >/dev/null 2>&1
then
    echo unchanged
    exit
fi
make_key "$key.part"
openssl req -new -key "$key.part" -subj "/CN=$(hostname)" |
    openssl x509 -req -CA "$authority/ca.pem" -CAkey "$authority/ca.key" -set_serial "0x$(openssl rand -hex 16)" -days 397 \
        -extfile <(printf 'subjectAltName=%s\nbasicConstraints=critical,CA:FALSE\nextendedKeyUsage=serverAuth,clientAuth\n' \
            "$alternatives") -out "$certificate.part" 2>/dev/null
mv "$key.part" "$key"
mv "$certificate.part" "$certificate"
echo "$alternatives" >"$authority/$name.names"
echo changed
