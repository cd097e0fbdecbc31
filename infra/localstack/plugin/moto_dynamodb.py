"""DynamoDB for LocalStack by Moto, which LocalStack brings with it.

LocalStack's own DynamoDB is a program that is not open source. This answers each request with Moto instead, as
LocalStack does for many other services, within its process. Chosen by PROVIDER_OVERRIDE_DYNAMODB=moto.
"""

import threading

from localstack.aws.api.dynamodb import DynamodbApi
from localstack.aws.forwarder import ForwardingFallbackDispatcher
from localstack.services.moto import dispatch_to_moto
from localstack.services.plugins import Service, aws_provider

# Moto looks at a condition and then writes, and LocalStack takes many requests at once.
ONE_AT_A_TIME = threading.Lock()


@aws_provider(api="dynamodb", name="moto")
def dynamodb():
    # The interface alone: it implements nothing, so that everything is forwarded.
    return Service.for_provider(DynamodbApi(), lambda provider: ForwardingFallbackDispatcher(provider, answer))


def answer(context, _request):
    """Moto's answer as it is: errors have members, such as the reasons of a cancelled transaction, which would be lost
    if LocalStack read them and wrote them anew."""
    with ONE_AT_A_TIME:
        return dispatch_to_moto(context)
