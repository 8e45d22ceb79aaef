"""Resource types of WAF."""

from botocore.exceptions import ClientError

from spotfleet.local.emulator.api_parameters import api_parameters
from spotfleet.local.emulator.resource_types.base import Clients, Owner, Properties, Replaced, Resource, ignore


class WebAclAssociation(Replaced):
    """AWS::WAFv2::WebACLAssociation. A resource has one web ACL at most."""

    def create(self, clients: Clients, _owner: Owner, properties: Properties) -> Resource:
        """Put the web ACL before the resource."""
        waf = clients("wafv2")
        place = {name: properties[name] for name in ("ResourceArn", "WebACLArn")}
        waf.associate_web_acl(**place)
        return "|".join(place.values()), {}

    def delete(self, clients: Clients, _physical_id: str, properties: Properties) -> None:
        """Take the web ACL away, unless another one has taken its place."""
        waf = clients("wafv2")
        try:
            acl = waf.get_web_acl_for_resource(ResourceArn=properties["ResourceArn"]).get("WebACL", {})
        except ClientError as error:
            if error.response["Error"]["Code"] != "WAFNonexistentItemException":
                raise
            return
        if acl.get("ARN") == properties["WebACLArn"]:
            waf.disassociate_web_acl(ResourceArn=properties["ResourceArn"])


class FirewallLogging:
    """AWS::WAFv2::LoggingConfiguration. Ref is the web ACL's ARN."""

    def create(self, clients: Clients, _owner: Owner, properties: Properties) -> Resource:
        """Let the web ACL log; the same call changes how it does."""
        waf = clients("wafv2")
        configuration = api_parameters(waf, "PutLoggingConfiguration", {"LoggingConfiguration": dict(properties)})
        waf.put_logging_configuration(**configuration)
        return properties["ResourceArn"], {}

    def update(self, clients: Clients, owner: Owner, physical_id: str, old: Properties, new: Properties) -> Resource:
        """Change how it logs; another web ACL needs a configuration of its own."""
        del physical_id, old
        return self.create(clients, owner, new)

    def delete(self, clients: Clients, physical_id: str, _properties: Properties) -> None:
        """End the log."""
        ignore("WAFNonexistentItemException", clients("wafv2").delete_logging_configuration, ResourceArn=physical_id)
