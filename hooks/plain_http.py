"""The hook !plain_http: a launch of production without HTTPS says so; once, as only the load balancer has the hook."""

from sceptre.hooks import Hook

from spotfleet.stacks.once import once_per_command


class PlainHttp(Hook):
    """Warns of a protected environment without HTTPS, internal or not, unless its `allow_plain_http` is true."""

    @once_per_command
    def run(self) -> None:
        """Say in one line what plain HTTP means, and which settings end it or this line."""
        settings = self.stack.config
        https = settings.get("certificate_arn") or settings.get("hosted_zone_id")
        if https or not settings["deletion_protection"] or settings.get("allow_plain_http"):
            return
        environment = self.stack.name.rpartition("/")[0]
        self.logger.warning(
            "%s answers plain HTTP only, which anyone on the way can read and change: give domain_name and "
            "hosted_zone_id, or certificate_arn, in config/%s/config.yaml, or allow_plain_http: true if this is meant",
            environment,
            environment,
        )
