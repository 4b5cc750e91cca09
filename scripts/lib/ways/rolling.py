"""A rolling restart of everything that has no state of its own in memory: each coreapp, then each webapp, is
asked to end (SIGTERM) and started again, the next when it serves. Clients repeat what broke.
"""
import time

PATIENT = True
STOP_S = 45  # what an orchestrator gives them
READY_S = 30.0


async def rounds(stage, count):
    gateway = stage.gateway
    for done in range(count):
        for role in (*gateway.core_roles, *gateway.web_roles):
            await stage.healthy()
            status = await stage.terminate(role, STOP_S)
            if status:
                stage.broken.append(f"{role} ended with {status} after SIGTERM")
            gateway.start_role(role)
            if role in gateway.core_roles:
                await stage.accepting(time.monotonic())
                await stage.shared()
            else:
                await stage.until(f"{role} serves", READY_S, lambda role=role: gateway.ready(role))
            stage.show(f"restart {done + 1}/{count}, {role}")
    return lambda: measured(stage)


def measured(stage):
    if stage.load.refused:
        stage.broken.append(f"calls failed: {stage.load.errors()}")
    took = [one.ended - one.began for one in stage.load.accepted.values()]
    return {"repeated": dict(stage.load.tries), "slowest_s": round(max(took, default=0), 3)}
