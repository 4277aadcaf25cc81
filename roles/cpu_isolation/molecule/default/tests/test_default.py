import json

PIPELINE = ("market-data", "signal-bridge", "risk-manager", "execution-engine")


def chosen(host):
    return json.loads(host.check_output("/usr/local/lib/holdfast/cpus.py choose"))


def cpus(text):
    return {int(number) for number in text.split(",")}


def test_hot_cores_and_the_others_share_nothing_and_are_all(host):
    hot, others = cpus(chosen(host)["hot"]), cpus(chosen(host)["others"])
    assert not hot & others
    assert 0 in others
    assert len(hot | others) == int(host.check_output("nproc --all"))


def test_pipeline_is_on_the_hot_cores_and_everything_else_beside_them(host):
    choice = chosen(host)
    assert set(choice["services"]) == set(PIPELINE)
    assert set(choice["services"].values()) <= cpus(choice["hot"])
    for name, cpu in choice["services"].items():
        drop_in = host.file(f"/etc/systemd/system/trading-{name}.service.d/60-cpus.conf").content_string
        assert drop_in.endswith(f"Slice=pipeline.slice\nCPUAffinity=\nCPUAffinity={cpu}\n")
    done = host.check_output("systemd-run --quiet --pipe --wait python3 -c 'import os; print(sorted(os.sched_getaffinity(0)))'")
    assert set(json.loads(done)) == cpus(choice["others"])


def test_the_slice_of_the_pipeline_has_the_hot_cores_alone(host):
    """That the kernel enforces it is seen in the virtual machine only."""
    shown = host.check_output("systemctl show pipeline.slice --property=AllowedCPUs --value")
    first, _, last = shown.partition("-")
    assert set(range(int(first), int(last or first) + 1)) == cpus(chosen(host)["hot"])


def test_a_service_of_the_pipeline_starts_on_its_core(host):
    choice = chosen(host)
    command = (
        "systemd-run --quiet --pipe --wait --property=CPUAffinity= "
        f"--property=CPUAffinity={choice['services']['execution-engine']} "
        "python3 -c 'import os; print(sorted(os.sched_getaffinity(0)))'"
    )
    assert set(json.loads(host.check_output(command))) <= cpus(choice["hot"])


def test_interrupts_are_left_to_the_machine_in_a_container_only(host):
    assert host.service("holdfast-cpus").is_enabled
    is_container = host.run("systemd-detect-virt --container").rc == 0
    assert host.service("holdfast-cpus").is_running != is_container
    assert host.check_output("systemctl is-enabled irqbalance || true") == "masked"
