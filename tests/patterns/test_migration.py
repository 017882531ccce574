import asyncio

from libs.common.db.migrate import differences, downgrade_all, migrate_all


async def test_the_migration_makes_the_tables_and_takes_them_back(fresh_dsn: str) -> None:
    def there_and_back() -> None:
        assert differences(fresh_dsn, ["patterns"]) == []
        downgrade_all(fresh_dsn, ["patterns"])
        migrate_all(fresh_dsn, ["patterns"])
        assert differences(fresh_dsn, ["patterns"]) == []

    await asyncio.to_thread(there_and_back)
