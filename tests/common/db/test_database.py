"""Transactions on a real server."""

from libs.common.db.audit import append_audit, verify_chain


async def test_it_works(make_database):
    database = make_database("alerts")
    async with database.transaction() as tx:
        await append_audit(tx, user_id=None, actor="x", action="a", resource_type="r")
    async with database.read() as tx:
        assert await verify_chain(tx) == 1
