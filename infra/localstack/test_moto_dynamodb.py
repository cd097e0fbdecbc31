"""Moto answers for DynamoDB: .local/localstack/venv/bin/python infra/localstack/test_moto_dynamodb.py"""

import sys
import unittest
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "plugin"))

from localstack.aws.forwarder import create_aws_request_context
from localstack.services.plugins import PLUGIN_NAMESPACE
from plux import PluginManager

ABSENT = "attribute_not_exists(pk)"


class DynamoDB(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.service = PluginManager(PLUGIN_NAMESPACE).load("dynamodb:moto").create_service()

    def setUp(self):
        self.table = str(uuid.uuid4())
        self.call(
            "CreateTable",
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
        )

    def call(self, action, region="us-east-1", **parameters):
        """The status and the body of the answer to a request for this test's table."""
        if action not in ("ListTables", "TransactWriteItems"):
            parameters["TableName"] = self.table
        context = create_aws_request_context("dynamodb", action, parameters=parameters, region=region)
        answer = self.service.skeleton.invoke(context)
        return answer.status_code, answer.get_json(force=True)

    def put(self, key, **more):
        return self.call("PutItem", Item={"pk": {"S": key}}, **more)

    def test_what_is_put_is_got(self):
        self.assertEqual(self.put("a")[0], 200)
        self.assertEqual(self.call("GetItem", Key={"pk": {"S": "a"}}), (200, {"Item": {"pk": {"S": "a"}}}))

    def test_a_region_has_tables_of_its_own(self):
        self.assertIn(self.table, self.call("ListTables")[1]["TableNames"])
        self.assertNotIn(self.table, self.call("ListTables", region="eu-west-1")[1]["TableNames"])

    def test_a_cancelled_transaction_says_why(self):
        self.put("a")
        puts = [{"TableName": self.table, "Item": {"pk": {"S": key}}, "ConditionExpression": ABSENT} for key in "ab"]
        status, error = self.call("TransactWriteItems", TransactItems=[{"Put": put} for put in puts])
        self.assertEqual((status, error["__type"].rpartition("#")[2]), (400, "TransactionCanceledException"))
        reasons = [reason["Code"] for reason in error["CancellationReasons"]]
        self.assertEqual(reasons, ["ConditionalCheckFailed", "None"])

    def test_of_many_that_write_on_condition_at_once_one_does(self):
        interval = sys.getswitchinterval()
        sys.setswitchinterval(1e-6)
        self.addCleanup(sys.setswitchinterval, interval)
        with ThreadPoolExecutor(8) as threads:
            statuses = list(threads.map(lambda i: self.put(str(i // 8), ConditionExpression=ABSENT)[0], range(320)))
        self.assertEqual((statuses.count(200), statuses.count(400)), (40, 280))


if __name__ == "__main__":
    unittest.main()
