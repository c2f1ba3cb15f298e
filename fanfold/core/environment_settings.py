"""Where settings come from: `FANFOLD_…` variables of the environment, and no file."""

from __future__ import annotations

from typing import cast

from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

_PREFIX = "FANFOLD_"


class EnvironmentSettings(BaseSettings):
    """A part of `Settings`. Fields that are not given come from the environment."""

    model_config = SettingsConfigDict(
        env_prefix=_PREFIX, frozen=True, extra="ignore", allow_inf_nan=False
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The given values, then the environment, unless it has no variable of ours: looking up each setting takes milliseconds."""
        environment = cast("EnvSettingsSource", env_settings).env_vars
        if any(name.startswith(_PREFIX.lower()) for name in environment):
            return init_settings, env_settings
        return (init_settings,)
