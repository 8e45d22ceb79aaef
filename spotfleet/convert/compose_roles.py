"""What each service of a Compose file is: the application's own, or something that AWS has in its place."""

import re
from collections.abc import Mapping
from typing import Any

from spotfleet.convert.part import ConversionError

DATASTORES = re.compile(
    r"(^|[/_-])(postgres|postgresql|postgis|pgvector|timescaledb?|mysql|mariadb|percona|redis|redis-stack|valkey|keydb|mongo|mongodb|"
    r"rabbitmq|elasticsearch|opensearch|minio|memcached|kafka|zookeeper|clickhouse(-server)?|cassandra|couchdb|influxdb|"
    r"neo4j|nats|mssql|dynamodb-local|meilisearch|solr)($|[-:@])"
)
PROXIES = re.compile(r"(^|[/_-])(nginx|traefik|caddy|haproxy|envoy|nginx-proxy|acme-companion)($|[-:@])")
DEVELOPMENT = re.compile(
    r"(^|[/_-])(mailhog|mailpit|mailcatcher|maildev|adminer|pgadmin4?|phpmyadmin|redis-commander|redisinsight|localstack|"
    r"selenium|chrome|flower|portainer|watchtower|dozzle|mongo-express|docker-registry)($|[-:@])"
)
WORKER_NAME = re.compile(r"work|queue|sidekiq|celery|beat|consumer|cron|schedul|daemon|bot")
MIGRATION = re.compile(r"\b(migrat\w*|db:prepare|db:setup|seed|flyway|liquibase|alembic|collectstatic|prisma)\b")
WHY = {
    "datastore": "a datastore in a container goes with its Spot machine: a stack of your own (RDS, ElastiCache) or a "
    "hosted one, with its address as a variable",
    "proxy": "the load balancer takes its place: TLS, host names, paths",
    "development": "is for development",
}


def roles(services: Mapping[str, dict[str, Any]], public: tuple[str, ...]) -> dict[str, str]:
    """Return what each service is: web, internal, worker or task, or datastore, proxy or development.

    `public` names those that the load balancer is to lead to, where several publish ports.
    Raises ConversionError where it cannot be known.
    """
    found = {name: _from_image(content) for name, content in services.items()}
    own = [name for name, role in found.items() if role is None]
    # Alone it is the application.
    if not own:
        found = {name: None if role == "proxy" else role for name, role in found.items()}
        own = [name for name, role in found.items() if role is None]
    awaited = {name for content in services.values() for name in _awaited(content)}
    tasks = {name for name in own if name in awaited or _ends(services[name])}
    published = [name for name in own if services[name].get("ports") and name not in tasks]
    webs = _webs(published, own, public)
    for name in own:
        if name in tasks:
            found[name] = "task"
        elif name in webs:
            found[name] = "web"
        elif _is_called(name, services) and not WORKER_NAME.search(name):
            found[name] = "internal"
        else:
            found[name] = "internal" if services[name].get("ports") or services[name].get("expose") else "worker"
    return {name: role or "worker" for name, role in found.items()}


def _webs(published: list[str], own: list[str], public: tuple[str, ...]) -> list[str]:
    unknown = [name for name in public if name not in own]
    if unknown:
        raise ConversionError(f"--web names {', '.join(unknown)}, which is none of: {', '.join(own)}.")
    if public:
        return list(public)
    if len(published) > 1:
        raise ConversionError(
            f"{', '.join(published)} publish ports: say which the load balancer is to lead to, such as --web "
            f"{published[0]}."
        )
    return published


def _from_image(content: dict[str, Any]) -> str | None:
    if content.get("build"):
        return None
    name = str(content.get("image", "")).rpartition("@")[0] or str(content.get("image", ""))
    kinds = {"datastore": DATASTORES, "proxy": PROXIES, "development": DEVELOPMENT}
    return next((role for role, pattern in kinds.items() if pattern.search(name)), None)


def _awaited(content: dict[str, Any]) -> list[str]:
    """Return the services that must have ended well before this one starts."""
    told = content.get("depends_on")
    if not isinstance(told, dict):
        return []
    return [name for name, how in told.items() if (how or {}).get("condition") == "service_completed_successfully"]


def _ends(content: dict[str, Any]) -> bool:
    command = content.get("command") or content.get("entrypoint") or ""
    text = " ".join(map(str, command)) if isinstance(command, list) else str(command)
    return bool(MIGRATION.search(text)) and not content.get("ports") and "&&" not in text


def _is_called(name: str, services: Mapping[str, dict[str, Any]]) -> bool:
    """Return whether another service's variables name this one as a host."""
    return any(names(value, name) for other, one in services.items() if other != name for value in _values(one))


def names(value: object, service: str) -> bool:
    """Return whether a variable's value leads to a service of the file."""
    return bool(re.search(rf"(//|@|^){re.escape(service)}(:\d+|/|$)", str(value)))


def _values(content: dict[str, Any]) -> list[Any]:
    told = content.get("environment") or {}
    return [str(one).partition("=")[2] for one in told] if isinstance(told, list) else list(told.values())
