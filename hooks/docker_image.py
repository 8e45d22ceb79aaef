"""The hook !docker_image: builds the service's image and pushes it, unless there is one already."""

from dataclasses import replace

from sceptre.exceptions import SceptreException
from sceptre.hooks import Hook

from spotfleet.image import docker_cli, existing_image, launched_image
from spotfleet.image.base_image import named_without_digest
from spotfleet.image.build_context import dockerfile, fingerprint
from spotfleet.image.image import Image, existing, image_of, platform_of, pushed_digest
from spotfleet.stacks import account, kept_images
from spotfleet.stacks.once import once_per_command

# So often is an image built when files are written meanwhile, though with what they held before.
MOST_BUILDS = 3


class DockerImage(Hook):
    """Makes sure that the image which !image_uri names can be pulled before the stack that runs it is touched.

    An image with the tag may have been pushed by somebody else: whoever may push to the repository decides what runs,
    as they could with any tag. Tags are immutable, so nobody can replace an image that a launch has found or pushed.
    """

    @once_per_command
    def run(self) -> None:
        """Build and push the image if its tag is new.

        Raises SceptreException, which stops the launch, when there is no Docker engine, a build or push fails, the
        source changes while it is built, or the repository would soon delete the image that runs.
        """
        account.require_right(self.stack, self.logger)
        launched_image.taken_over(self.stack, self.argument)
        if existing(self.argument):
            launched_image.hand_over(self.stack, self.argument, self._existing())
            return
        image = image_of(self.stack, self.argument, pull=self._report)
        if image.base.remark:
            self._report(image.base.remark)
        for name in named_without_digest(dockerfile(image.context, image.dockerfile)):
            self._report(
                f"The Dockerfile builds on {name}, whatever that is now: give it a digest, or use ARG BASE_IMAGE"
            )
        digest = pushed_digest(self.stack, image)
        if digest is not None:
            self._report(f"Image {image.tag} is in the repository already")
        else:
            digest = self._built_and_pushed(image)
        launched_image.hand_over(self.stack, self.argument, image.with_digest(digest))

    def _existing(self) -> str:
        """Return the name, by a digest, of the image that is there already."""
        platform = platform_of(self.argument)
        uri, remark = existing_image.resolve(self.argument["image"], platform, account.is_embedded(self.stack))
        self._report(remark or f"Image {self.argument['image']} is {uri}")
        return uri

    def _built_and_pushed(self, image: Image) -> str:
        """Build and push the image, and return its digest."""
        kept_images.require_room(self.stack, image)
        docker = docker_cli.find_docker()
        self._report(f"Building image {image.tag} for {image.platform} on {image.base.reference}")
        self._build(docker, image)
        self._report(f"Pushing {image.uri}")
        told = None
        try:
            told = docker_cli.push(docker, image.uri, self._registry_token(), self._report)
        except SceptreException:
            # Tags are immutable: a launch elsewhere that pushed the same source first is no failure.
            if pushed_digest(self.stack, image) is None:
                raise
        digest = pushed_digest(self.stack, image)
        if digest is None or (told and told != digest):
            found, pushed = digest or "nothing", told or "what was pushed"
            raise SceptreException(f"Under {image.uri} the repository has {found}, not {pushed}: launch again.")
        self._report(f"Pushed {image.uri}")
        return digest

    def _build(self, docker: str, image: Image) -> None:
        """Build the image from what its tag says and nothing else.

        Raises SceptreException when the build context or the base image has changed since it was looked at.
        """
        for _ in range(MOST_BUILDS):
            docker_cli.build(docker, image, self._report)
            contents = fingerprint(image.context, image.dockerfile)
            if contents.content != image.contents.content:
                raise SceptreException(
                    f"Files in {image.context} changed while the image was built from them; nothing was pushed, and "
                    "the stack was not touched. Launch again."
                )
            if not image.base.is_unchanged(docker):
                raise SceptreException(
                    f"Base image {image.base.reference} changed while it was built on; nothing was pushed, and the "
                    "stack was not touched. Launch again."
                )
            if contents.writes == image.contents.writes:
                return
            # What was built may hold what was there in between.
            self._report("Files were written, and are as they were: building again")
            image = replace(image, contents=contents)
        raise SceptreException(
            f"Files in {image.context} are written all the time; nothing was pushed, and the stack was not touched. "
            "Launch again when that has ended."
        )

    def _registry_token(self) -> str:
        # The stack's own connection, so that its profile, role and region decide which registry this is. A token
        # lasts 12 hours; see https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_GetAuthorizationToken.html
        answer = self.stack.connection_manager.call(service="ecr", command="get_authorization_token")
        token: str = answer["authorizationData"][0]["authorizationToken"]
        return token

    def _report(self, message: str) -> None:
        self.logger.info("%s", message)
