"""The hook !docker_image: builds the service's image and pushes it, unless the repository has it already."""

from botocore.exceptions import ClientError
from sceptre.exceptions import SceptreException
from sceptre.hooks import Hook

from hooks import account, docker_cli
from hooks.image import Image, image_from


class DockerImage(Hook):  # type: ignore[misc]  # Sceptre publishes no types
    """Makes sure that the image which !image_uri names can be pulled before the stack that runs it is touched."""

    def run(self) -> None:
        """Build and push the image if its tag is new.

        Raises SceptreException, which stops the launch, when there is no Docker engine or a build or push fails.
        """
        account.require_right(self.stack, self.logger)
        image = image_from(self.argument, self.stack.stack_group_config["project_path"])
        if self._is_pushed(image):
            self._report(f"Image {image.tag} is in the repository already")
            return
        docker = docker_cli.find_docker()
        self._report(f"Building image {image.tag} for {image.platform} on {image.base_image}")
        docker_cli.build(docker, image, self._report)
        self._report(f"Pushing {image.uri}")
        try:
            docker_cli.push(docker, image.uri, self._registry_token(), self._report)
        except SceptreException:
            # Tags are immutable: a launch elsewhere that pushed the same source first is no failure.
            if not self._is_pushed(image):
                raise
        self._report(f"Pushed {image.uri}")

    def _is_pushed(self, image: Image) -> bool:
        repository = image.repository_uri.partition("/")[2]
        try:
            self.stack.connection_manager.call(
                service="ecr",
                command="describe_images",
                kwargs={"repositoryName": repository, "imageIds": [{"imageTag": image.tag}]},
            )
        except ClientError as error:
            if error.response["Error"]["Code"] == "ImageNotFoundException":
                return False
            raise
        return True

    def _registry_token(self) -> str:
        # The stack's own connection, so that its profile, role and region decide which registry this is. A token
        # lasts 12 hours; see https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_GetAuthorizationToken.html
        answer = self.stack.connection_manager.call(service="ecr", command="get_authorization_token")
        token: str = answer["authorizationData"][0]["authorizationToken"]
        return token

    def _report(self, message: str) -> None:
        self.logger.info("%s", message)
