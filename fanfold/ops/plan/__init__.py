"""`fanfold plan`: what an installation of a given size needs, by arithmetic from measured costs.

Everything here but `command.py` and `costs.py` is pure. The steps: `workload` and `audience` say what is asked of the system, `costs` what each
event and read costs, `fan_out`, `reading` and `storage` multiply the two, `threshold` and `limits` draw the conclusions, and
`capacity` puts them together. `simulate` runs the same costs through queues.
"""
