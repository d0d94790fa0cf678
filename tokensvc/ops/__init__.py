"""
Health, readiness, metrics, the contract and its rendered page.

Contains those routes and the probe that combines checks into the readiness of the service.
"""
