"""A template's resources with the values of its parameters, from either way of writing functions."""

from typing import Any

from spotfleet.stacks.template_content import read, resources

TEMPLATE = """
Parameters:
  Cidr: {Type: String}
  Few: {Type: String, Default: "false"}
Conditions:
  IsFew: !Equals [!Ref Few, "true"]
  Odd: !Not [!Condition IsFew]
Resources:
  Vpc:
    Type: AWS::EC2::VPC
    Properties:
      CidrBlock: !Ref Cidr
      EnableDnsSupport: true
      Tags: [{Key: Name, Value: !Sub "${AWS::StackName} ${Cidr}"}]
  Subnet:
    Type: AWS::EC2::Subnet
    Condition: IsFew
    Properties:
      VpcId: !Ref Vpc
      CidrBlock: !Select [0, !Cidr [!GetAtt Vpc.CidrBlock, 4, 8]]
  Other:
    Type: X
    Properties:
      Size: !If [IsFew, 1, 2]
      Odd: !If [Odd, 1, 2]
      Gone: !If [IsFew, 1, !Ref AWS::NoValue]
"""


def filled(**values: str) -> dict[str, Any]:
    return resources(read(TEMPLATE), values)


def test_parameters_are_replaced_and_conditions_decided() -> None:
    found = filled(Cidr="10.0.0.0/16", NotDeclared="x")
    assert found["Vpc"]["Properties"] == {
        "CidrBlock": "10.0.0.0/16",
        "EnableDnsSupport": "true",
        "Tags": [{"Key": "Name", "Value": {"Fn::Sub": "${AWS::StackName} 10.0.0.0/16"}}],
    }
    assert "Subnet" not in found
    # What is not decided here stays as it is, on both sides of a comparison.
    assert found["Other"]["Properties"] == {"Size": "2", "Odd": {"Fn::If": ["Odd", "1", "2"]}}


def test_functions_of_other_resources_stay_as_they_are() -> None:
    found = filled(Cidr="10.0.0.0/16", Few="true")
    assert found["Subnet"]["Properties"] == {
        "VpcId": {"Ref": "Vpc"},
        "CidrBlock": {"Fn::Select": ["0", {"Fn::Cidr": [{"Fn::GetAtt": "Vpc.CidrBlock"}, "4", "8"]}]},
    }
    assert found["Other"]["Properties"]["Gone"] == "1"


def test_json_says_the_same_as_yaml() -> None:
    body = {
        "Parameters": {"Cidr": {"Type": "String"}},
        "Resources": {
            "Vpc": {"Type": "AWS::EC2::VPC", "Properties": {"CidrBlock": {"Ref": "Cidr"}, "EnableDnsSupport": True}},
            "A": {"Type": "X", "Properties": {"Arn": {"Fn::GetAtt": ["Vpc", "CidrBlock"]}}},
        },
    }
    found = resources(read(body), {"Cidr": "10.0.0.0/16"})
    assert found["Vpc"]["Properties"] == {"CidrBlock": "10.0.0.0/16", "EnableDnsSupport": "true"}
    assert found["A"]["Properties"] == {"Arn": {"Fn::GetAtt": "Vpc.CidrBlock"}}
