"""What may import what: the tables of test_walls.py."""

ROOMS = ("framework", "configs", "beam", "export", "online", "launch")

FORBIDDEN = {
    "framework": {"tensorflow", "tensorflow_serving", "apache_beam"},
    "beam": {"jax", "flax", "optax", "tensorflow", "tensorflow_serving"},
    "export": {"apache_beam"},
    "export/server": {"jax", "flax", "apache_beam"},
    "online": {"jax", "flax", "optax", "tensorflow", "tensorflow_serving", "apache_beam"},
    "configs": {"tensorflow", "apache_beam"},
}
"""The libraries that a room does not know."""

KNOWN = {
    "framework": {"framework"},
    "configs": {"framework", "configs"},
    "beam": {"framework", "beam", "online"},
    "export": {"framework", "export"},
    "online": {"framework", "online"},
    "launch": set(ROOMS),
}
"""The rooms that a room knows: nobody imports launch, and no stage another one."""

SHARED = {
    *("framework/error", "framework/codec", "framework/exit_codes", "framework/progress"),
    *("beam/error", "export/error", "online/error", "export/server/error"),
}
"""What all may import, as far as the walls let them."""

PURE = (
    *("error", "codec", "exit_codes", "progress", "code", "config", "config/online", "artifact"),
    *("schema", "page"),
)
"""Of framework/: pure Python, and all that beam/ and online/ see of it."""

ARROWS = {
    "framework": {
        "code": "",
        "termination": "",
        "artifact": "code",
        "config": "config/online",
        "config/online": "",
        "config/sweep": "",
        "schema": "config",
        "page": "",
        "devices": "config",
        "embedding": "devices schema",
        "input": "artifact devices schema",
        "losses": "devices",
        "formats": "",
        "metrics": "formats schema",
        "heads": "config metrics",
        "task": "config devices embedding formats heads input metrics schema",
        "models/parts": "config embedding formats heads input losses metrics schema task",
        "models": "config embedding formats heads input losses metrics models/parts schema task",
        "evaluation": "config devices heads input metrics models schema task",
        "runs": "artifact code config embedding evaluation input schema task",
        "report": "artifact page runs",
        "training": "artifact code config devices embedding evaluation input report runs"
        " schema task termination",
        "compression": "artifact compression/distillation config devices embedding evaluation"
        " formats input models/parts runs schema task training",
        "compression/distillation": "artifact code config embedding formats heads input losses"
        " metrics models/parts runs schema task",
        "comparison": "artifact code config evaluation input metrics page report runs",
        "preflight": "config devices evaluation schema task training",
    },
    "beam": {
        "paths": "framework/config",
        "formats": "paths framework/artifact framework/config framework/schema",
        "headers": "formats framework/config",
        "place": "formats framework/artifact framework/code framework/config",
        "plan": "formats framework/config",
        "statistics": "framework/config framework/schema",
        "features": "formats statistics framework/config framework/schema",
        "report": "statistics framework/config framework/page framework/schema",
        "steps": "features formats headers plan report statistics framework/artifact"
        " framework/config framework/schema",
        "extension": "headers plan steps framework/artifact framework/schema",
        "rejected": "framework/artifact",
        "check": "statistics framework/artifact framework/config framework/schema",
        "commit": "extension formats place plan rejected steps framework/artifact"
        " framework/config framework/schema",
        "engines": "commit formats plan steps framework/artifact framework/config framework/page",
        "dataset": "engines extension formats headers place plan framework/artifact"
        " framework/code framework/config",
        "overview": "extension formats headers framework/artifact",
        "streaming": "online/lander online/queue framework/config/online",
    },
    "export": {
        "silence": "",
        "layout": "",
        "contract": "framework/config framework/schema",
        "lowering": "contract framework/config framework/evaluation framework/formats"
        " framework/heads framework/input framework/metrics framework/schema framework/task",
        "graph": "contract layout lowering framework/config framework/schema",
        "cases": "contract graph lowering framework/config framework/formats framework/schema",
        "verification": "graph layout lowering framework/schema",
        "signature": "layout framework/artifact",
        "versions": "layout signature framework/artifact framework/runs",
        "identity": "layout versions framework/artifact framework/code framework/config",
        "jax_extras": "",
        "served": "cases contract graph jax_extras lowering silence verification"
        " framework/config framework/input framework/schema",
        "card": "graph layout framework/code framework/config framework/page framework/report",
        "stage": "card identity layout served signature verification versions"
        " framework/code framework/config framework/input framework/task",
    },
    "export/server": {
        "options": "",
        "logs": "",
        "text_proto": "",
        "metrics": "",
        "limits": "options",
        "drain": "options",
        "runtime": "limits options export/layout",
        "quality": "metrics runtime",
        "pseudonym": "",
        "request_log": "metrics pseudonym runtime text_proto",
        "batching": "runtime text_proto",
        "models": "batching limits metrics options quality request_log runtime export/layout"
        " export/signature export/versions",
        "siblings": "metrics",
        "api": "batching limits models runtime siblings",
        "net": "api drain models options siblings text_proto",
        "serve": "batching drain limits logs models net options request_log runtime siblings"
        " export/signature",
        "workers": "logs net options",
        "worker": "drain logs options serve siblings",
        "command": "models options serve workers",
        "__main__": "command",
    },
    "online": {
        "lander": "events queue service framework/artifact framework/config/online",
        "events": "framework/config/online",
        "queue": "queue/amqp framework/config/online",
        "queue/amqp": "",
        "rollout": "servers framework/artifact framework/config",
        "servers": "",
        "service": "",
        "store": "framework/config/online",
        "backfill": "store framework/config/online",
        "experiments": "rollout framework/config/online",
        "gateway": "events experiments gateway/guard queue rollout servers store"
        " framework/config/online",
        "gateway/door": "events gateway queue servers framework/config/online",
        "gateway/guard": "servers framework/config/online",
        "gateway/process": "gateway gateway/door queue servers service store"
        " framework/config/online",
        "nearline": "events queue service store framework/config/online",
        "experiments/report": "framework/config/online",
    },
    "launch": {
        "ci": "stages targets",
        "compression": "cost fields gate loaded sweep tracking",
        "console": "",
        "experiments": "targets",
        "fields": "",
        "options": "fields refusal verbs",
        "refusal": "fields",
        "narration": "",
        "tracking": "rollout",
        "registry": "gate tracking",
        "follower": "gate registry tracking",
        "lineage": "experiments registry stages tracking",
        "stages": "narration tracking",
        "supervise": "stages",
        "elastic": "supervise",
        "loaded": "console",
        "loop": "gate rollout stages tracking",
        "gate": "loaded",
        "batch": "loaded",
        "chain": "console experiments gate loaded stages tracking",
        "board": "gate registry tracking",
        "monitor": "loop monitor/alerts",
        "monitor/alerts": "",
        "verbs": "board compression console cost elastic experiments gate plan prices stages"
        " supervise tracking",
        "verbs/online": "backfill stages up verbs",
        "verbs/launch": "dataflow elastic jobs prices stages targets targets/cloud_run"
        " targets/kubernetes targets/kubernetes/services targets/kubernetes/serving"
        " targets/machines verbs",
        "verbs/operate": "ci experiments gate loop monitor monitor/alerts rollout"
        " targets/kubernetes targets/kubernetes/serving tracking verbs verbs/launch",
        "verbs/provenance": "follower lineage registry tracking verbs",
        "targets/cloud_run": "targets targets/kubernetes",
        "targets/kubernetes/serving": "monitor/alerts targets targets/kubernetes",
        "targets/kubernetes/services": "targets targets/kubernetes targets/kubernetes/serving",
        "targets": "prices",
        "targets/kubernetes": "targets",
        "targets/machines": "targets",
        "jobs": "targets targets/kubernetes targets/machines",
        "dataflow": "",
        "prices": "",
        "plan": "prices",
        "rollout": "gate targets targets/kubernetes targets/kubernetes/serving",
        "simulation": "",
        "up": "targets",
        "demo": "console",
        "demo_mlops": "console demo rollout",
        "usage": "experiments fields verbs",
        "cli": "console experiments options stages usage verbs verbs/ask verbs/launch"
        " verbs/online verbs/operate verbs/provenance verbs/search",
        "backfill": "",
        "demo_online": "console demo_mlops experiments simulation up",
        "verbs/ask": "batch experiments loaded verbs",
        "sweep": "console cost experiments plan stages targets",
        "cost": "plan prices",
        "advise": "stages sweep",
        "verbs/search": "advise cost scaling stages sweep tracking verbs",
        "scaling": "stages sweep",
    },
    "configs": {
        "": "framework/config framework/embedding framework/heads framework/models"
        " framework/models/parts framework/training",
    },
}
"""Room → package of it, or file that lies in it → what these import of podway. What holds SHARED is
left out, and of launch, which knows all rooms, what it imports of the others."""
