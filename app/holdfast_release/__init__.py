"""holdfast-release: puts releases on hosts that have neither Nix nor a container engine. Standard library only.

On a bare Debian 12 or 13 with `python3`: copy `holdfast-release`, `holdfast-VERSION.oci.tar` and the `.sig` beside it
to the host, the public key once to /etc/holdfast/release.pub (by another way than the release), then as root

    ./holdfast-release --json install holdfast-VERSION.oci.tar --schema 0

`--schema` is the newest migration that the host's database has, 0 while there is none. Afterwards, and after each later
`install`, `switch` and `rollback`, /opt/holdfast/current leads to the current release; one rename moves all of it:

    /opt/holdfast/current/bin/holdfast                  the command, as the units start it; bin/python runs it
    /opt/holdfast/current/share/holdfast/systemd        units with their drop-ins, and lib/, the scripts they run
    /opt/holdfast/current/share/holdfast/config         the default configuration, for /etc/holdfast
    /opt/holdfast/current/share/holdfast/migrations     the database's migrations, as `holdfast` applies them
    /opt/holdfast/current/share/holdfast/monitoring     Prometheus, Alertmanager, Grafana, runbooks
    /opt/holdfast/current/share/holdfast/sbom.cdx.json  the bill of materials; provenance.json says what it is made of
    /opt/holdfast/current/share/bash-completion/completions/holdfast, share/zsh/site-functions/_holdfast and
    share/fish/vendor_completions.d/holdfast.fish       completions of the command's words

Units are linked (`systemctl link`) or copied from there by whoever provisions the host. The installer touches nothing
but /nix and that one link. With `--json` the answer has `changed`; a refusal exits with 1, `refused` and `message`.
"""
