# Words for the selectors and delays of pod.yaml; the loader puts them before each expression there.
def mark($name): (.metadata.annotations // {})["testbed.heterofleet.io/" + $name];
def alive: .metadata.deletionTimestamp == null and (.status.phase == "Pending" or .status.phase == "Running");
def container: (.status.containerStatuses // [])[0] // {};
def begun: .status.startTime != null;
def running: container.state.running != null;
def exited: container.state.terminated != null;
def waiting_for: container.state.waiting.reason // "";
def restarts: container.restartCount // 0;
def condition($type): [(.status.conditions // [])[] | select(.type == $type)][0] // {};
def ready: condition("Ready").status == "True";
def held: mark("waiting") != null;
def seconds: capture("^(?<n>[0-9.]+)(?<unit>ms|s|m|h)$") | (.n | tonumber) * {ms: 0.001, s: 1, m: 60, h: 3600}[.unit];
def instant: (. // "") | capture("(?<at>[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]+Z)").at;
