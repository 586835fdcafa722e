"""Text to paste: the commands for a TPU slice, the manifest for Kubernetes.

Both need a work directory on a file system that all hosts share. What only the reader knows is at the top or marked
"edit".
"""

import json
import pathlib
import re
import shlex
from collections.abc import Sequence

from data.errors import one_line
from experiments.launch import joined

PORT = 8476  # of process 0, which the others connect to


def tpu(command: Sequence[str], workdir: pathlib.Path) -> str:
    """Shell commands that make a TPU slice, install fovea on all of its hosts, start the command there, and follow it.

    The processes of a slice find each other: https://docs.jax.dev/en/latest/multi_process.html.
    """
    place, log = shlex.quote(str(workdir)), shlex.quote(f"{workdir}/log.txt")
    # In double quotes: the variables are expanded on this machine.
    install = (
        "git clone '$REPOSITORY' fovea && cd fovea && python3 -m venv .venv"
        " && .venv/bin/pip install -r requirements.lock && .venv/bin/pip install -e '.[tpu]'"
    )
    # In braces: otherwise the whole line would run in the background and hold the connection open.
    start = f"mkdir -p {place} && cd fovea && {{ nohup .venv/bin/fovea"
    start += f" {shlex.join([*command, '--distributed'])} < /dev/null >> {log} 2>&1 & }}"
    stop = f"fovea/.venv/bin/fovea stop {place}"
    return f"""\
# edit: which slice, and where the code is; {one_line(str(workdir))} has to be shared by its hosts (Filestore, say)
TPU=fovea ZONE=us-central2-b TYPE=v4-32 VERSION=tpu-ubuntu2204-base REPOSITORY=https://…
on() {{ gcloud compute tpus tpu-vm ssh "$TPU" --zone="$ZONE" --worker="$1" --command="$2"; }}

gcloud compute tpus tpu-vm create "$TPU" --zone="$ZONE" --accelerator-type="$TYPE" --version="$VERSION"
on all "{install}"
on all {shlex.quote(start)}    # run it again after a pre-emption: it resumes
on 0 {shlex.quote(f"tail -f {log}")}
on 0 {shlex.quote(stop)}    # saves and ends, on all
gcloud compute tpus tpu-vm delete "$TPU" --zone="$ZONE"
"""


def kubernetes(command: Sequence[str], workdir: pathlib.Path, hosts: int, devices: int | None) -> str:
    """A Job for `kubectl apply -f -` with a pod for each host, and the Service by which several hosts meet.

    Kubernetes restarts pods that are evicted, or end because another did, and they resume; not those with bad input.
    """
    name = "fovea-" + (re.sub("[^a-z0-9]+", "-", workdir.name.lower()).strip("-")[:40] or "run")
    words = [*command, *joined(f"{name}-0.{name}:{PORT}", hosts, 0)[:-1]] if hosts > 1 else command
    line = "exec fovea " + shlex.join(words) + ' "$JOB_COMPLETION_INDEX"' * (hosts > 1)
    line = line.replace("$(", "$$(")  # Kubernetes would put an environment variable there
    service = f"""\
apiVersion: v1
kind: Service
metadata:
  name: {name}
spec:
  clusterIP: None
  publishNotReadyAddresses: true
  selector:
    job-name: {name}
---
"""
    limits = f"""
          resources:
            limits:
              nvidia.com/gpu: {devices}"""
    return f"""\
# kubectl apply -f -          kubectl logs -f job/{name}          kubectl delete job/{name}    # saves and ends
{service if hosts > 1 else ""}apiVersion: batch/v1
kind: Job
metadata:
  name: {name}
spec:
  completionMode: Indexed
  completions: {hosts}
  parallelism: {hosts}
  backoffLimit: 100
  podFailurePolicy:
    rules:
      - action: FailJob # bad input
        onExitCodes:
          operator: In
          values: [2]
      - action: Ignore # evicted, pre-empted
        onPodConditions:
          - type: DisruptionTarget
  template:
    spec:
      subdomain: {name}
      restartPolicy: Never
      terminationGracePeriodSeconds: 300
      containers:
        - name: fovea
          image: REGISTRY/fovea:TAG # edit: an image in which fovea is installed
          command: ["sh", "-c", {json.dumps(line, ensure_ascii=False)}]{limits if devices else ""}
          volumeMounts:
            - name: runs
              mountPath: {json.dumps(str(workdir.parent))}
      volumes:
        - name: runs
          persistentVolumeClaim:
            claimName: fovea-runs # edit: shared by all hosts (ReadWriteMany)
"""
