"""The resolver !image_uri: which image the service runs."""

from sceptre.resolvers import Resolver

from hooks.image import image_from


class ImageUri(Resolver):  # type: ignore[misc]  # Sceptre publishes no types
    """Gives the repository and tag of the image that !docker_image with the same argument builds and pushes."""

    def resolve(self) -> str:
        """Return `<repository>:<hash of the source>`. Raises SceptreException for a wrong argument."""
        return image_from(self.argument, self.stack.stack_group_config["project_path"]).uri
