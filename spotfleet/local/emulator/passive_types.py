"""The CloudFormation types of MiniStack that only keep what a template says.

MiniStack knows many more. Some of those run what a template gives them, on this machine itself (Lambda functions,
custom resources) or in containers that it starts without the limits of a task (databases, caches, builds, clusters);
others lead to such ones. Nothing here needs them, so a template with one is refused. What an environment may hold
besides the templates' own types is listed because it only rests.
"""

PASSIVE_TYPES = {
    *("AWS::AutoScaling::AutoScalingGroup", "AWS::AutoScaling::LaunchConfiguration", "AWS::AutoScaling::LifecycleHook"),
    *("AWS::AutoScaling::ScalingPolicy", "AWS::AutoScaling::ScheduledAction"),
    *("AWS::CertificateManager::Certificate", "AWS::CloudWatch::Alarm", "AWS::CloudWatch::Dashboard"),
    *("AWS::DynamoDB::GlobalTable", "AWS::DynamoDB::Table"),
    *("AWS::EC2::InternetGateway", "AWS::EC2::LaunchTemplate", "AWS::EC2::Route", "AWS::EC2::RouteTable"),
    *("AWS::EC2::SecurityGroup", "AWS::EC2::Subnet", "AWS::EC2::SubnetRouteTableAssociation", "AWS::EC2::VPC"),
    *("AWS::EC2::VPCEndpoint", "AWS::EC2::VPCGatewayAttachment"),
    *("AWS::ECR::Repository", "AWS::ECS::Cluster", "AWS::ECS::Service", "AWS::ECS::TaskDefinition"),
    *("AWS::EFS::AccessPoint", "AWS::EFS::FileSystem", "AWS::EFS::MountTarget"),
    *("AWS::ElasticLoadBalancingV2::Listener", "AWS::ElasticLoadBalancingV2::ListenerRule"),
    *("AWS::ElasticLoadBalancingV2::LoadBalancer", "AWS::ElasticLoadBalancingV2::TargetGroup"),
    *("AWS::Events::EventBus", "AWS::Events::Rule"),
    *("AWS::IAM::InstanceProfile", "AWS::IAM::ManagedPolicy", "AWS::IAM::Policy", "AWS::IAM::Role", "AWS::IAM::User"),
    *("AWS::KMS::Alias", "AWS::KMS::Key"),
    *("AWS::Logs::LogGroup", "AWS::Logs::LogStream", "AWS::Logs::MetricFilter", "AWS::Logs::ResourcePolicy"),
    *("AWS::Route53::HostedZone", "AWS::Route53::RecordSet"),
    *("AWS::S3::Bucket", "AWS::S3::BucketPolicy"),
    *("AWS::SNS::Subscription", "AWS::SNS::Topic", "AWS::SNS::TopicPolicy"),
    *("AWS::SQS::Queue", "AWS::SQS::QueuePolicy"),
    *("AWS::SSM::Parameter", "AWS::SecretsManager::Secret"),
    *("AWS::ServiceDiscovery::HttpNamespace", "AWS::ServiceDiscovery::PrivateDnsNamespace"),
    *("AWS::ServiceDiscovery::Service",),
    "AWS::WAFv2::WebACL",
}
