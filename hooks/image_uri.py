"""The resolver !image_uri: which image the service runs."""

from botocore.exceptions import ClientError, ParamValidationError
from sceptre.exceptions import SceptreException
from sceptre.resolvers import Resolver
from sceptre.resolvers.placeholders import are_placeholders_enabled

from spotfleet.image import existing_image, launched_image
from spotfleet.image.image import Image, existing, image_of, platform_of, pushed_digest
from spotfleet.stacks import account

# A repository that is not there yet, or whose name is still a placeholder of Sceptre.
NO_REPOSITORY = {"RepositoryNotFoundException", "InvalidParameterException"}


class ImageUri(Resolver):
    """Gives the image that !docker_image with the same argument builds and pushes, by its digest.

    In a launch it is the very image that the hook has pushed or found. `sceptre diff` and `sceptre dump` run no hooks:
    there it is what the repository has under the tag that the source gives; where it has nothing yet, the repository
    and that tag stand for the image that a launch will build.
    """

    def resolve(self) -> str:
        """Return `<repository>@<digest>`, or `<repository>:<tag>` for an image that a diff cannot know yet.

        Raises SceptreException for a wrong argument, as `image_from` does, and, outside of a diff, where no hook has
        run and the image is not there.
        """
        launched = launched_image.taken_over(self.stack, self.argument)
        if launched is not None:
            return launched
        if existing(self.argument):
            return self._existing()
        image = image_of(self.stack, self.argument)
        digest = self._pushed_digest(image)
        if digest is not None:
            return image.with_digest(digest)
        if are_placeholders_enabled():
            return image.uri
        raise SceptreException(f"Image {image.tag} is not in the repository: run `sceptre launch`.")

    def _existing(self) -> str:
        try:
            embedded = account.is_embedded(self.stack)
            return existing_image.resolve(existing(self.argument), platform_of(self.argument), embedded)[0]
        except SceptreException:
            if are_placeholders_enabled():
                return existing(self.argument)
            raise

    def _pushed_digest(self, image: Image) -> str | None:
        try:
            return pushed_digest(self.stack, image)
        except ClientError as error:
            if are_placeholders_enabled() and error.response["Error"]["Code"] in NO_REPOSITORY:
                return None
            raise
        except ParamValidationError:
            if are_placeholders_enabled():
                return None
            raise
