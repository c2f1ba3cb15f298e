"""What the services share (`core`, `adapters`, `http`) and the operator's command line (`ops`)."""
