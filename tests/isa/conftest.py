"""A busy machine is no failure: property tests here have no deadline."""

from hypothesis import HealthCheck, settings

settings.register_profile("isa", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("isa")
