"""How the tests' programs are compiled: quickly, on eight CPU devices.

Most of what the tests take is compilation, of programs that run for milliseconds. These flags make a program of a
network three to four times cheaper to compile; its numbers differ from those of users' programs by rounding alone.
`AS_FOR_USERS` are the options of `jax.jit` for a test about what XLA makes of a program for users.
"""

EIGHT_DEVICES = "--xla_force_host_platform_device_count=8"
QUICK = "--xla_cpu_use_fusion_emitters=false"
AS_FOR_USERS = {
    "xla_cpu_use_fusion_emitters": True,
    "xla_backend_optimization_level": 3,
    "xla_llvm_disable_expensive_passes": False,
}
