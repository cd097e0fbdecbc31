#!/bin/sh
# What template.yaml makes for the functions, made for the processes of compose.yaml: with `awslocal` inside LocalStack, or
# with the command that AWS names, such as `aws --endpoint-url http://localhost:4566`.
set -eu
AWS=${AWS:-awslocal}

$AWS dynamodb create-table --table-name jobs --billing-mode PAY_PER_REQUEST \
    --attribute-definitions AttributeName=pk,AttributeType=S AttributeName=id,AttributeType=S \
        AttributeName=list_shard,AttributeType=S AttributeName=status_shard,AttributeType=S \
        AttributeName=owner_list,AttributeType=S AttributeName=owner_status,AttributeType=S \
        AttributeName=due_shard,AttributeType=S AttributeName=due,AttributeType=N \
    --key-schema AttributeName=pk,KeyType=HASH \
    --global-secondary-indexes \
        'IndexName=by_created,KeySchema=[{AttributeName=list_shard,KeyType=HASH},{AttributeName=id,KeyType=RANGE}],Projection={ProjectionType=INCLUDE,NonKeyAttributes=[job]}' \
        'IndexName=by_status,KeySchema=[{AttributeName=status_shard,KeyType=HASH},{AttributeName=id,KeyType=RANGE}],Projection={ProjectionType=INCLUDE,NonKeyAttributes=[job]}' \
        'IndexName=by_owner,KeySchema=[{AttributeName=owner_list,KeyType=HASH},{AttributeName=id,KeyType=RANGE}],Projection={ProjectionType=INCLUDE,NonKeyAttributes=[job,key,jobs,bytes]}' \
        'IndexName=by_owner_status,KeySchema=[{AttributeName=owner_status,KeyType=HASH},{AttributeName=id,KeyType=RANGE}],Projection={ProjectionType=INCLUDE,NonKeyAttributes=[job]}' \
        'IndexName=by_due,KeySchema=[{AttributeName=due_shard,KeyType=HASH},{AttributeName=due,KeyType=RANGE}],Projection={ProjectionType=KEYS_ONLY}'
$AWS dynamodb update-time-to-live --table-name jobs --time-to-live-specification Enabled=true,AttributeName=expires
$AWS s3api create-bucket --bucket darkroom-models
$AWS s3api create-bucket --bucket darkroom

# queue NAME VISIBILITY_TIMEOUT RECEIVES
queue() {
    dead_letters=$($AWS sqs create-queue --queue-name "$1-dead-letters" --output text --query QueueUrl)
    arn=$($AWS sqs get-queue-attributes --queue-url "$dead_letters" --attribute-names QueueArn \
        --output text --query Attributes.QueueArn)
    $AWS sqs create-queue --queue-name "$1" --attributes \
        "{\"VisibilityTimeout\":\"$2\",\"RedrivePolicy\":\"{\\\"deadLetterTargetArn\\\":\\\"$arn\\\",\\\"maxReceiveCount\\\":\\\"$3\\\"}\"}"
}
queue jobs 600 10
arn=$($AWS sqs get-queue-attributes --queue-url "$($AWS sqs get-queue-url --queue-name jobs --output text --query QueueUrl)" \
    --attribute-names QueueArn --output text --query Attributes.QueueArn)
$AWS s3api put-bucket-notification-configuration --bucket darkroom --notification-configuration \
    "{\"QueueConfigurations\":[{\"QueueArn\":\"$arn\",\"Events\":[\"s3:ObjectCreated:*\"],\"Filter\":{\"Key\":{\"FilterRules\":[{\"Name\":\"suffix\",\"Value\":\"/upload\"}]}}}]}"
# The last: compose.yaml waits for it.
queue callbacks 540 10
