#!/usr/bin/env python3
"""Validates deploy/: against its schemas, with `auditlake validate`, and for consistency between its files.

    deploy/check.py PROGRAM    PROGRAM is the auditlake binary

Schemas come with the packages in tests/requirements.txt, so nothing is downloaded. Prometheus' promtool is used if it is
installed.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import compose_spec
import kubernetes_validate
import yaml

HERE = Path(__file__).resolve().parent
KUBERNETES = ("1.30", kubernetes_validate.latest_version())
GRACE_SECONDS = 25  # the default of `shutdown_grace`

failures: list[str] = []


def main() -> None:
    program = Path(sys.argv[1]).resolve()
    compose(program)
    kubernetes(program)
    prometheus()
    for failure in failures:
        print(f"deploy/{failure}", file=sys.stderr)
    if failures:
        raise SystemExit(1)


def expect(holds: object, what: str) -> None:
    """Records a failed expectation; all of them are printed at the end."""
    if not holds:
        failures.append(what)


def compose(program: Path) -> None:
    """Checks compose.yaml: the Compose Specification, mounts, environment and targets."""
    text = (HERE / "compose.yaml").read_text()
    try:
        compose_spec.PyCompose.from_yaml(text)
    except ValueError as error:
        failures.append(f"compose.yaml: {error}")
        return
    services = yaml.safe_load(text)["services"]
    for name, service in services.items():
        for mount in service.get("volumes", []):
            source = mount.partition(":")[0]
            expect(
                not source.startswith(".") or (HERE / source).exists(),
                f"compose.yaml: `{name}` mounts {source}, which doesn't exist",
            )
        for other in service.get("depends_on", {}):
            expect(
                "healthcheck" in services.get(other, {}),
                f"compose.yaml: `{name}` waits for `{other}`, which has no health check",
            )
    given = dict(re.findall(r"^(\w+)=(.*)$", (HERE / "env.example").read_text(), re.MULTILINE))
    used = set(re.findall(r"\$\{(\w+)", text))
    expect(used == set(given), f"env.example: defines {sorted(given)}, but compose.yaml uses {sorted(used)}")
    service = services["auditlake"]
    env = {
        key: re.sub(r"\$\{(\w+)[^}]*\}", lambda found: given.get(found[1], ""), value)
        for key, value in service["environment"].items()
    }
    validate("compose.yaml", program, (HERE / "jobs.yaml").read_text(), env)
    stop = int(service["stop_grace_period"].removesuffix("s"))
    expect(
        stop > GRACE_SECONDS,
        f"compose.yaml: a `stop_grace_period` of {stop} s is shorter than the daemon's grace period of {GRACE_SECONDS} s",
    )
    port = env["AUDITLAKE_LISTEN"].rpartition(":")[2]
    expect(
        all(mapped.endswith(f":{port}") for mapped in service["ports"]),
        f"compose.yaml: auditlake listens on {port}, but {service['ports']} is published",
    )
    jobs = yaml.safe_load((HERE / "jobs.yaml").read_text())
    prometheus = yaml.safe_load((HERE / "prometheus/prometheus.yaml").read_text())
    scraped = prometheus["scrape_configs"][0]["static_configs"][0]["targets"]
    expect(
        scraped == [f"auditlake:{port}"],
        f"prometheus/prometheus.yaml: scrapes {scraped}, but auditlake listens on {port}",
    )
    allowed = jobs["server"]["allowed_hosts"]
    expect(allowed == ["auditlake"], f"jobs.yaml: Prometheus uses the host name `auditlake`, but {allowed} are accepted")
    for rules in prometheus["rule_files"]:
        expect((HERE / "prometheus" / rules).exists(), f"prometheus/prometheus.yaml: {rules} doesn't exist")
    for name, service in services.items():
        for published in service.get("ports", []):
            expect(
                published.startswith("127.0.0.1:"), f"compose.yaml: `{name}` publishes {published} to other machines"
            )


def kubernetes(program: Path) -> None:
    """Checks each manifest against the Kubernetes schemas, and the references between them."""
    documents = {}
    for path in sorted((HERE / "kubernetes").glob("*.yaml")):
        for document in yaml.safe_load_all(path.read_text()):
            where = f"kubernetes/{path.name}: {document['kind']}"
            for version in KUBERNETES:
                try:
                    kubernetes_validate.validate(document, version, strict=True)
                except kubernetes_validate.ValidationError as error:
                    failures.append(f"{where}, Kubernetes {version}: {'.'.join(map(str, error.path))}: {error.message}")
                except kubernetes_validate.SchemaNotFoundError as error:
                    failures.append(f"{where}: {error.message}")
            documents[document["kind"]] = document
    if failures:
        return
    deployment, cronjob = documents["Deployment"]["spec"], documents["CronJob"]["spec"]["jobTemplate"]["spec"]
    daemon = pod("kubernetes/deployment.yaml", program, deployment["template"], documents)
    pod("kubernetes/cronjob.yaml", program, cronjob["template"], documents)

    # the Kubernetes schemas don't list the allowed values
    policy = documents["CronJob"]["spec"]["concurrencyPolicy"]
    expect(
        policy == "Forbid", f"kubernetes/cronjob.yaml: `concurrencyPolicy` is {policy}, so runs would wait for each other"
    )

    where = "kubernetes/deployment.yaml"
    container = deployment["template"]["spec"]["containers"][0]
    replicas = deployment["replicas"]
    expect(
        daemon["AUDITLAKE_REPLICAS"] == str(replicas),
        f"{where}: {replicas} replicas, AUDITLAKE_REPLICAS is {daemon['AUDITLAKE_REPLICAS']}",
    )
    expect(
        deployment["strategy"]["rollingUpdate"]["maxSurge"] == 0,
        f"{where}: during a rollout, more replicas run than share the rate",
    )
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    expect(
        daemon["AUDITLAKE_LISTEN"] == f"0.0.0.0:{ports['http']}",
        f"{where}: AUDITLAKE_LISTEN is {daemon['AUDITLAKE_LISTEN']}, but the port is {ports}",
    )
    probes = {key: container[key]["httpGet"] for key in ("livenessProbe", "readinessProbe")}
    want = {
        "livenessProbe": {"path": "/healthz", "port": "http"},
        "readinessProbe": {"path": "/readyz", "port": "http"},
    }
    expect(probes == want, f"{where}: the probes are {probes}")
    labels = deployment["template"]["metadata"]["labels"]
    for selector in (deployment["selector"], documents["PodDisruptionBudget"]["spec"]["selector"]):
        expect(selector["matchLabels"] == labels, f"{where}: {selector} doesn't select {labels}")


def pod(where: str, program: Path, template: dict, documents: dict) -> dict[str, str]:
    """Checks the properties common to both kinds of pod; returns this one's environment."""
    spec = template["spec"]
    container = spec["containers"][0]
    for key, want in {"runAsNonRoot": True, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}}.items():
        expect(
            spec["securityContext"].get(key) == want,
            f"{where}: `{key}` is {spec['securityContext'].get(key)}, not {want}",
        )
    want = {"readOnlyRootFilesystem": True, "allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    expect(
        container["securityContext"] == want,
        f"{where}: the container's securityContext is {container['securityContext']}, not {want}",
    )
    grace = spec["terminationGracePeriodSeconds"]
    expect(grace > GRACE_SECONDS, f"{where}: {grace} s is shorter than the daemon's grace period of {GRACE_SECONDS} s")
    names = {
        "ServiceAccount": spec["serviceAccountName"],
        "ConfigMap": next(volume["configMap"]["name"] for volume in spec["volumes"] if volume["name"] == "config"),
        "Secret": next(volume["secret"]["secretName"] for volume in spec["volumes"] if volume["name"] == "secrets"),
    }
    for kind, name in names.items():
        have = documents[kind]["metadata"]["name"]
        expect(have == name, f"{where}: uses the {kind} `{name}`, but config.yaml has `{have}`")
    mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    expect(
        mounts.get("config") == "/etc/auditlake",
        f"{where}: the image reads /etc/auditlake/jobs.yaml, but the ConfigMap is mounted at {mounts.get('config')}",
    )
    env = {entry["name"]: entry["value"] for entry in container["env"]}
    jobs = documents["ConfigMap"]["data"]["jobs.yaml"]
    validate(where, program, jobs, env, mounts.get("secrets", ""), documents["Secret"]["stringData"])
    return env


def validate(
    where: str, program: Path, jobs: str, env: dict[str, str], mounted: str = "", secrets: dict[str, str] | None = None
) -> None:
    """Runs `auditlake validate` with only this environment, and with the secrets at their mount path."""
    with tempfile.TemporaryDirectory() as folder:
        for name, value in (secrets or {}).items():
            (Path(folder) / name).write_text(value)
        if mounted:
            jobs = jobs.replace("${file:" + mounted + "/", "${file:" + folder + "/")
        done = subprocess.run(
            [program, "-c", "-", "validate"], input=jobs, env=env, cwd=folder, text=True, capture_output=True
        )
        said = (done.stdout + done.stderr).strip().replace(folder, mounted)
    expect(done.returncode == 0, f"{where}: `auditlake validate` refuses its jobs.yaml: {said}")


def prometheus() -> None:
    """Checks prometheus.yaml and its rule files."""
    promtool = shutil.which(os.environ.get("AUDITLAKE_TEST_PROMTOOL", "")) or shutil.which("promtool")
    if not promtool:
        print("promtool is not installed: prometheus/ is not checked (Debian's prometheus has it)")
        return
    config = HERE / "prometheus/prometheus.yaml"
    done = subprocess.run([promtool, "check", "config", config], text=True, capture_output=True)
    expect(done.returncode == 0, f"prometheus/prometheus.yaml: {(done.stdout + done.stderr).strip()}")


if __name__ == "__main__":
    main()
