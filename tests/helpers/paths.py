"""One path of each kind."""

from diffmem.config.diffusion import EDMDiffusion, FlowDiffusion, LinearDiffusion

LINEAR = LinearDiffusion(T=1000, beta_first=1e-4, beta_last=2e-2)
FLOW = FlowDiffusion(T=1000)
EDM = EDMDiffusion(T=1000, sigma_min=0.002, sigma_max=80.0, rho=7.0, sigma_data=0.5, P_mean=-1.2, P_std=1.2)
